"""Slipway launches a release of a data platform and hauls it back."""
