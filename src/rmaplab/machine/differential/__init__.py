"""The differential test: random programs on the running kernel and on the model, compared step by step."""
