"""The version of timecat, for labels of what is given away; no stage imports it."""

VERSION = "0.1.0"
