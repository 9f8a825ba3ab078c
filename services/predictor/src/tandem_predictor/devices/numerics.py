"""What is done to a batch on its device, by the array API standard: NumPy, CuPy and PyTorch run the same lines.

uint8 images -> normalised -> engine -> scores -> distributions -> best
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

_NEARLY = 1e-3  # that the sum of a distribution may differ from 1


def normalised(images: Any, mean: Any, std: Any, *, channels_first: bool, dtype: str = "float32") -> Any:
    """Images UINT8 [N, height, width, 3] -> (v - mean) / std, in the layout and the floating dtype asked for.

    `mean` and `std` are FP32 of one or three elements, on the device of `images`.
    """
    xp = array_namespace(images)
    values = xp.astype(images, mean.dtype)
    values -= mean
    values /= std
    values = xp.astype(values, getattr(xp, dtype), copy=False)
    if not channels_first:
        return values
    planes = xp.permute_dims(values, (0, 3, 1, 2))
    return xp.reshape(xp.reshape(planes, (-1,)), planes.shape)  # by way of a copy in that order


def distributions(scores: Any) -> Any:
    """Each row of `scores` [N, classes] as it is if it is a distribution already, else its softmax."""
    xp = array_namespace(scores)
    close = xp.abs(xp.sum(scores, axis=1, keepdims=True) - 1) < _NEARLY
    done = (xp.min(scores, axis=1, keepdims=True) >= 0) & close
    powers = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
    return xp.where(done, scores, powers / xp.sum(powers, axis=1, keepdims=True))


def best(scores: Any, count: int) -> tuple[Any, Any]:
    """The `count` largest of each row of `scores` [N, classes], largest first, and their indices INT64.

    Of equals the first comes first; NaN comes last.
    """
    xp = array_namespace(scores)
    order = xp.argsort(-scores, axis=1, stable=True)[:, :count]
    return xp.take_along_axis(scores, order, axis=1), xp.astype(order, xp.int64)
