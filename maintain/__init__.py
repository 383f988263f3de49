"""What only a maintainer runs: weighs the images, builds them again to compare, takes the pictures, checks, tests."""
