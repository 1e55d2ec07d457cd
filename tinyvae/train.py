"""The training loop: shuffled minibatches, epochs, a history, a progress bar, an error in words when it diverges."""
import numpy as np


def train(step, theta, grad, blocks, optimizer, state, n_rows, *, n_epochs, batch_size, rng, history, after_epoch,
          progress):
    """Minimise a loss over θ by minibatches, for n_epochs passes over the rows.   [AE.2, OP.2]

    step(rows)  : → dict of numbers, "loss" first, each a mean over these rows; writes the loss's gradient to `grad`
    theta, grad : flat vectors; theta and the optimiser's `state` are overwritten
    blocks      : ordered dict from names to slices of θ, to name the culprit of a divergence
    history     : dict of lists; the mean of each of the step's numbers over an epoch's rows is appended
    after_epoch : called without arguments after each epoch; training stops early where it returns True

    Every epoch visits each row once, in an order drawn afresh from `rng`; the last batch of an epoch may be smaller.
    Raises FloatingPointError when the loss or the gradient is not finite, before the update: theta stays finite.
    """
    with progress(n_epochs) as bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for epoch in range(n_epochs):
            order = rng.permutation(n_rows)
            totals = {}
            for start in range(0, n_rows, batch_size):
                rows = order[start:start + batch_size]
                terms = step(rows)
                # A sum of squares is one pass in BLAS. It overflows only where an entry is far beyond use, and as long
                # as it does not, no update carries a finite θ to infinity.
                if not (np.isfinite(terms["loss"]) and np.isfinite(grad @ grad)):
                    raise _diverged(terms["loss"], grad, blocks, optimizer, epoch, start // batch_size)
                optimizer.update(theta, grad, state)
                for name, value in terms.items():
                    totals[name] = totals.get(name, 0.0) + len(rows) * float(value)
            for name, total in totals.items():
                history.setdefault(name, []).append(total / n_rows)
            bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in history.items()}, refresh=False)
            bar.update()
            if after_epoch():
                return


def progress_bar(verbose, description):
    """A function that makes a tqdm bar for n_epochs; it stays unseen where verbose is 0 or stderr is no terminal."""
    from tqdm import tqdm                               # here, because `import tinyvae` should not pay for it

    return lambda n_epochs: tqdm(total=n_epochs, desc=description, unit="epoch", disable=None if verbose else True)


def _diverged(loss, grad, blocks, optimizer, epoch, batch):
    """The error that names the step and the first block whose gradient is not finite, or else the largest one."""
    largest = {name: np.max(np.abs(grad[place])) for name, place in blocks.items()}
    broken = [name for name, value in largest.items() if not np.isfinite(value)]
    block = broken[0] if broken else max(largest, key=largest.get)
    what = "is not finite" if broken else f"reaches {largest[block]:.1e}"
    return FloatingPointError(
        f"training diverged in epoch {epoch + 1}, step {batch + 1}: the loss is {float(loss):.4g} and the gradient of "
        f"{block} {what}. theta_ keeps the last finite parameters. Try a smaller learning_rate (now "
        f"{optimizer.learning_rate:g}) or scale the data.")
