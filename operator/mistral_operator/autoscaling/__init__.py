"""One file per autoscaler: the objects that move a MistralModel's scale. Pure."""
