"""Color counts -> smoothed prior -> class weights."""
