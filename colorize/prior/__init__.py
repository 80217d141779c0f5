"""Colour counts -> smoothed prior -> class weights."""
