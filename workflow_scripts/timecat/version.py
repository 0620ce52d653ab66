"""Version of timecat, for the labels of published files and container images."""

VERSION = "0.1.0"
