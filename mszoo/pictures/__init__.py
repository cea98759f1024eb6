"""Image files as people have them: found, read and written without loss where the format allows it. Needs no torch."""
