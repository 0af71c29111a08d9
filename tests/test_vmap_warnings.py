import warnings

import pytest
import torch

from captum_clustered.vmap_warnings import quiet_fallback


def loop_over_an_operation_without_batching_rule():
    def strided(x):
        return x.clone().as_strided_((2,), (1,))

    return torch.func.vmap(strided)(torch.ones(3, 2))


def test_vmaps_advice_is_silenced_inside_and_heard_again_outside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_fallback():
            with quiet_fallback():
                loop_over_an_operation_without_batching_rule()
            loop_over_an_operation_without_batching_rule()
    with pytest.warns(UserWarning, match="batching rule"):
        loop_over_an_operation_without_batching_rule()
