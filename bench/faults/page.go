package main

func (s *study) publish() error { return nil }
