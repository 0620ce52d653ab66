"""The library that the stages share: small modules, each with one subject. Nothing is imported here."""
