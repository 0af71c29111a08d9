"""
Step 2 of the method: run the model with clusters of channels ablated.

``evaluate`` is the entry. It takes a ``request`` and tries the engine ``vmap_pass``, which runs
the model once for all ablations; if the model cannot do that, the engine ``loop`` runs it once
for each. Both use ``hooks`` to read and replace the layer's tensors. When the layer is reached,
the request's ``planner`` clusters its channels and makes the ``plan``: the list of evaluations,
each of which keeps some clusters and ablates the others. ``coalitions`` chooses these clusters
and turns the scores into importances. A ``lazy_tensor`` delays the ablation until the model mixes
channels, so that pooling is not computed for each ablation; ``lazy_linear`` computes a linear layer
for all ``evaluations`` from sums by cluster. ``model`` finds the model behind a forward function
and restores its state after each pass, with ``containers`` and ``tensor_values``; ``arguments``
does the same for its arguments; ``random_numbers`` gives all passes the same noise;
``torch_settings`` changes settings of PyTorch while an attribution runs; ``vmap_gaps`` and
``vmap_in_place`` add what vmap lacks; ``memory_cap`` limits the ablated tensors and what follows
them, which ``tail_memory`` measures; ``output_watch`` ends a pass that is likely in vain;
``layer_checks`` checks the layer's tensors.

Read in this order: request, planner, plan, coalitions, loop, vmap_pass, lazy_base, lazy_tensor,
evaluations, lazy_linear.
"""
