"""What a run over a whole data set costs, and whether it survives being killed."""
