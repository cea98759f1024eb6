"""Other people's checkpoints: recognized, read as tensors and plain values only, and turned into models."""
