"""Version of timecat, for labels of published files. No stage imports it."""

VERSION = "0.1.0"
