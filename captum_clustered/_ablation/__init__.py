"""
Step 2 of the method: run the model with clusters of channels ablated.

``evaluate`` is the entry. It takes a ``request`` and tries the engine ``single_pass``, which runs
the model once for all ablations; if the model cannot do that, the engine ``loop`` runs it once
for each. Both use ``hooks`` to read and replace the layer's tensors, which ``layer_checks``
checks. When the layer is reached, the request's ``planner`` clusters its channels and makes the
``plan``: the list of ``evaluations``, each of which keeps some clusters and ablates the others.
``coalitions`` chooses these clusters and turns the scores into importances. ``memory_cap`` says
how many evaluations one pass takes. ``model_state`` restores after each pass what the model has
changed.

The planner and its clusterer run inside the first forward pass, in the layer's hook.

Read in this order: evaluate, request, hooks, coalitions, planner, plan, evaluations, loop. The
loop is enough to understand the method; ``single_pass`` makes it fast and ``model_state`` safe,
and each is a room of its own.
"""
