package cohort

import "image"

// describe describes one page or all.
func (f *pictureFile) describe(index int) (*Description, error) {
	first, behind := 0, len(f.pages)
	if index >= 0 {
		page, err := f.choose(index)
		if err != nil {
			return nil, err
		}
		first, behind = page, page+1
	}
	var d *Description
	var m moments
	for page := first; page < behind; page++ {
		picture, err := f.decode(page)
		if err != nil {
			return nil, err
		}
		v := pictureVolume(picture)
		if page == first {
			d = f.summary(picture)
		} else if v.Shape[0] != d.Shape[0] || v.Shape[1] != d.Shape[1] {
			d.note(LevelWarning, "choose a page", "page %d has %s pixels, page %d %s", first, product(d.Shape), page, product(v.Shape[:2]))
		}
		m.addNarrow(v.Data)
	}
	switch {
	case index >= 0 && len(f.pages) > 1:
		d.choose(first)
	case len(f.pages) > 1:
		d.Shape = append(d.Shape, 1, len(f.pages))
	}
	m.fill(d)
	return d, nil
}

// summary describes a page without its values.
func (f *pictureFile) summary(picture image.Image) *Description {
	size := picture.Bounds()
	d := &Description{
		Format: f.format.name, Dtype: "uint8", Shape: []int{size.Dx(), size.Dy()},
		Scaling: Scaling{1, 0}, Volumes: len(f.pages),
	}
	d.locate(pictureAffine)
	colour := true
	switch picture.(type) {
	case *image.Gray:
		colour = false
	case *image.Gray16:
		d.Dtype, colour = "uint16", false
	case *image.RGBA64, *image.NRGBA64:
		d.Dtype = "uint16"
	}
	if colour {
		d.note(LevelInfo, "read as luminance, 0.299 R + 0.587 G + 0.114 B", "the picture has colours or a palette")
	}
	d.note(LevelInfo, "rows are taken to run towards the patient's left and columns towards posterior, 1 mm apart", "a picture says nothing of anatomy")
	return d
}
