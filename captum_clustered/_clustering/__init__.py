"""
Step 1 of the method: cluster a layer's channels by the similarity of their feature maps.

- ``features`` turns a layer's tensor into one feature vector per channel.
- ``clusterers`` turns the argument ``clusterer`` into a function from features to labels; its
  built-in choice is ``kmeans``.
- ``cluster_sums`` sums over the channels of each cluster.
"""
