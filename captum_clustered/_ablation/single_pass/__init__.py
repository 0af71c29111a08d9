"""
The engine that computes all ablations in one forward pass, with :func:`torch.func.vmap`.

``vmap_pass`` is the entry. Up to the layer, the model runs as always. Behind it, vmap computes all
evaluations at once. A ``lazy_tensor`` delays the ablation until the model mixes channels, so that
pooling is not computed for each ablation: ``lazy_linear`` computes a linear layer for all
evaluations from sums by cluster, and ``lazy_convolution`` a convolution (``convolutions``) from
parts by cluster. ``tail_help`` does what follows in fewer steps.

``vmap_gaps`` and ``vmap_in_place`` add what vmap lacks. Some passes end early, and others or the
loop take over: ``layout_watch`` ends a pass whose model notices the layout of tensors in memory,
``output_watch`` one that is likely in vain, ``tail_memory`` one that takes too much memory behind
the layer.

Read in this order: vmap_pass, lazy_base, lazy_tensor, lazy_linear, lazy_convolution.
"""
