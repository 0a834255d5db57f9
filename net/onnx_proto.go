package net

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of ONNX that a network needs, encoded field by field. The field
// numbers are those of onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
const (
	onnxModelIRVersion       protowire.Number = 1
	onnxModelProducer        protowire.Number = 2
	onnxModelProducerVersion protowire.Number = 3
	onnxModelDoc             protowire.Number = 6
	onnxModelGraph           protowire.Number = 7
	onnxModelOpset           protowire.Number = 8
	onnxModelMetadata        protowire.Number = 14

	onnxOpsetVersion protowire.Number = 2

	onnxPropertyKey   protowire.Number = 1
	onnxPropertyValue protowire.Number = 2

	onnxGraphNode        protowire.Number = 1
	onnxGraphName        protowire.Number = 2
	onnxGraphInitialiser protowire.Number = 5
	onnxGraphInput       protowire.Number = 11
	onnxGraphOutput      protowire.Number = 12

	onnxNodeInput     protowire.Number = 1
	onnxNodeOutput    protowire.Number = 2
	onnxNodeName      protowire.Number = 3
	onnxNodeOperator  protowire.Number = 4
	onnxNodeAttribute protowire.Number = 5

	onnxAttributeName  protowire.Number = 1
	onnxAttributeFloat protowire.Number = 2
	onnxAttributeInt   protowire.Number = 3
	onnxAttributeInts  protowire.Number = 8
	onnxAttributeType  protowire.Number = 20

	onnxTensorDims protowire.Number = 1
	onnxTensorType protowire.Number = 2
	onnxTensorName protowire.Number = 8
	onnxTensorRaw  protowire.Number = 9

	onnxValueName       protowire.Number = 1
	onnxValueType       protowire.Number = 2
	onnxValueDoc        protowire.Number = 3
	onnxTypeTensor      protowire.Number = 1
	onnxTypeElement     protowire.Number = 1
	onnxTypeShape       protowire.Number = 2
	onnxShapeDimension  protowire.Number = 1
	onnxDimensionNumber protowire.Number = 1
	onnxDimensionName   protowire.Number = 2
)

// The types of attributes and of tensors.
const (
	onnxIsFloat = 1
	onnxIsInt   = 2
	onnxIsInts  = 7

	onnxFloat32 = 1
	onnxInt64   = 7
)

// A message is an encoded protobuf message that grows.
type message []byte

func (m *message) number(field protowire.Number, value int64) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(value))
}

func (m *message) float(field protowire.Number, value float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(value))
}

func (m *message) text(field protowire.Number, value string) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendString(*m, value)
}

func (m *message) bytes(field protowire.Number, value []byte) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, value)
}

// An onnxTensor is a constant: a Tensor, or whole numbers of one axis.
type onnxTensor struct {
	Tensor
	whole []int64 // nil: float32
}

func (t onnxTensor) encode() message {
	var m message
	dims, kind := t.Shape, int64(onnxFloat32)
	var raw []byte
	if t.whole != nil {
		dims, kind = []int{len(t.whole)}, onnxInt64
		for _, v := range t.whole {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
		}
	} else {
		raw = make([]byte, 0, 4*len(t.Data))
		for _, v := range t.Data {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	for _, size := range dims {
		m.number(onnxTensorDims, int64(size))
	}
	m.number(onnxTensorType, kind)
	m.text(onnxTensorName, t.Name)
	m.bytes(onnxTensorRaw, raw)
	return m
}

// An onnxAttribute is a setting of a node: an int64, a float32 or []int64.
type onnxAttribute struct {
	name  string
	value any
}

func (a onnxAttribute) encode() message {
	var m message
	m.text(onnxAttributeName, a.name)
	switch v := a.value.(type) {
	case int64:
		m.number(onnxAttributeInt, v)
		m.number(onnxAttributeType, onnxIsInt)
	case float32:
		m.float(onnxAttributeFloat, v)
		m.number(onnxAttributeType, onnxIsFloat)
	case []int64:
		for _, number := range v {
			m.number(onnxAttributeInts, number)
		}
		m.number(onnxAttributeType, onnxIsInts)
	default:
		panic("net: an attribute of another kind")
	}
	return m
}

// An onnxNode is one operation. Its output has the name of the node.
type onnxNode struct {
	operator, name string
	inputs         []string
	attributes     []onnxAttribute
}

func (n onnxNode) encode() message {
	var m message
	for _, name := range n.inputs {
		m.text(onnxNodeInput, name)
	}
	m.text(onnxNodeOutput, n.name)
	m.text(onnxNodeName, n.name)
	m.text(onnxNodeOperator, n.operator)
	for _, a := range n.attributes {
		m.bytes(onnxNodeAttribute, a.encode())
	}
	return m
}

// An onnxValue is an input or output of the whole graph, float32. A size is a
// number, or a name where it is free.
type onnxValue struct {
	name, doc string
	sizes     []any
}

func (v onnxValue) encode() message {
	var shape, tensor, kind, m message
	for _, size := range v.sizes {
		var dimension message
		switch s := size.(type) {
		case int:
			dimension.number(onnxDimensionNumber, int64(s))
		case string:
			dimension.text(onnxDimensionName, s)
		}
		shape.bytes(onnxShapeDimension, dimension)
	}
	tensor.number(onnxTypeElement, onnxFloat32)
	tensor.bytes(onnxTypeShape, shape)
	kind.bytes(onnxTypeTensor, tensor)
	m.text(onnxValueName, v.name)
	m.bytes(onnxValueType, kind)
	m.text(onnxValueDoc, v.doc)
	return m
}
