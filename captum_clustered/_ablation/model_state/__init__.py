"""
The model is left as it was: what a forward pass changes is restored after it.

``model`` finds the modules behind a forward function and restores their attributes and buffers,
with ``containers`` (lists, dictionaries, objects) and ``tensor_values``. ``arguments`` does the
same for what the model writes into its inputs. ``random_numbers`` gives all passes the same noise
and leaves the generators as they were. ``torch_settings`` changes settings of PyTorch while an
attribution runs.
"""
