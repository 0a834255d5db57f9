package kernel

//go:generate go -C _gen run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel
//go:generate go -C _gen run ./arm64 -out ../kernels_arm64.s -stubs ../kernels_arm64.go
