"""The host tool: builds the images, runs the stack, reads the data. Standard library only, Python 3.10 or newer."""
