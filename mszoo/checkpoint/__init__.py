"""A checkpoint: a folder of ``config.json`` and ``model.safetensors``, written whole and read as data only.

``folder`` knows its files, ``claims`` where its components say they come from, ``saving`` and ``reading`` turn a model
into one and back. Nothing is imported here: listings read a folder without torch.
"""
