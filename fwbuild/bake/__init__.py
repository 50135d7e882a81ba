"""`fwbuild bake`: a guest in a RAM file, and the firmware that starts it by a jump."""
