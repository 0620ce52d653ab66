"""The workflow's stages: one command-line script per rule, of the rule's name."""
