"""The images: their tags, what they are built from, the image lock, building, publishing, pruning."""
