"""Programs of the project's own that a guest runs, built from assembly as the image is: the test
kernel, and the first user program of the bench. No image contains them."""
