"""Many published architectures, with random weights: does the method work, and on which layer?"""
