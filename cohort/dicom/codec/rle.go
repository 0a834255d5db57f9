package codec

import (
	"encoding/binary"
	"fmt"
)

// RLE decodes one frame of DICOM's RLE Lossless (PS3.5 annex G): a header of
// 16 little-endian words, the number of segments and their offsets, then one
// PackBits segment for each byte of a sample, the most significant first.
// bytesPerSample is BitsAllocated / 8: 1, 2 or 4. The result is row by row,
// unsigned; a sample of 4 bytes keeps its bit pattern.
func RLE(data []byte, width, height, bytesPerSample int) (*Image, error) {
	if err := checkSize(width, height, width, height, len(data), bestRLE); err != nil {
		return nil, err
	}
	if len(data) < 64 {
		return nil, fmt.Errorf("%w: %d of the 64 bytes of an RLE header", ErrTruncated, len(data))
	}
	if count := binary.LittleEndian.Uint32(data); int64(count) != int64(bytesPerSample) {
		return nil, fmt.Errorf("%w: %d RLE segments for samples of %d bytes", ErrUnsupported, count, bytesPerSample)
	}
	picture := &Image{Width: width, Height: height, Bits: min(8*bytesPerSample, 32), Samples: make([]int32, width*height)}
	for segment := range bytesPerSample {
		start, end := binary.LittleEndian.Uint32(data[4+4*segment:]), uint32(len(data))
		if segment+1 < bytesPerSample {
			end = binary.LittleEndian.Uint32(data[8+4*segment:])
		}
		if start < 64 || start > end || uint64(end) > uint64(len(data)) {
			return nil, fmt.Errorf("%w: RLE segment %d lies at bytes %d to %d of %d", ErrDamaged, segment+1, start, end, len(data))
		}
		got := unpack(data[start:end], picture.Samples)
		if got < len(picture.Samples) {
			return nil, fmt.Errorf("%w: RLE segment %d holds %d of %d bytes", ErrTruncated, segment+1, got, len(picture.Samples))
		}
	}
	return picture, nil
}

// unpack shifts each sample by 8 bits and adds the next byte of a PackBits
// segment to it; it returns how many samples the segment filled.
func unpack(segment []byte, samples []int32) (filled int) {
	for len(segment) > 1 && filled < len(samples) {
		control := int8(segment[0])
		switch {
		case control == -128: // no operation
			segment = segment[1:]
		case control < 0: // the next byte, 2 to 128 times
			for range min(1-int(control), len(samples)-filled) {
				samples[filled] = samples[filled]<<8 | int32(segment[1])
				filled++
			}
			segment = segment[2:]
		default: // the next 1 to 128 bytes as they are
			literal := segment[1:min(2+int(control), len(segment))]
			for _, value := range literal[:min(len(literal), len(samples)-filled)] {
				samples[filled] = samples[filled]<<8 | int32(value)
				filled++
			}
			segment = segment[1+len(literal):]
		}
	}
	return filled
}
