"""Which entries of a gradient are wrong?   Halving along rows and columns.

The residual of a set S of entries is measured along one direction v, drawn once and restricted to S:

    r(S) = Σ_{i in S} v_i grad_i − d/dt f(θ + t v_S) at t = 0        =   r(A) + r(B)  for the halves A, B of S

A single error keeps its r while |v_S| falls, so every halving sees it more sharply, and 20 of them single out one entry
of 400,000. Each v_i is a random sign times a random size that is never near 0: no error is hidden, and no two equal
ones cancel. What is found is taken out of v, and the rest is measured again, until it shows no error.
"""
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..validation import check_int, check_rng
from .slopes import BARS, EPS, FIRST_STEPS, SHARP, ridders

BUDGET = 640                # evaluations of f for one block
AT_ONCE = 18                # that Ridders may take, beside f(theta), which is kept
N_SAMPLES = 6               # lines or entries that stand for a whole range of them
N_LISTED = 64               # so many entries are told one by one, more as rows × columns
BESIDE = 1e-3               # of the whole's residual: a half with less is taken to be right, for this round
CLEAR = 0.05                # of it: so blurred may a half's residual be, if the other half is to go unmeasured
COARSE = BESIDE / 1000      # of it: a half's slope need not be sharper


class Probe(NamedTuple):
    """The two slopes along a set's unit direction."""
    analytic: float
    numeric: float
    bar: float
    norm: float                                      # |v_S|, before the direction was made a unit

    @property
    def residual(self):
        """r(S), the sum of its halves' residuals."""
        return (self.analytic - self.numeric) * self.norm

    @property
    def verdict(self):
        """wrong; silent: both slopes are 0 within the bar, so that nothing can be seen to be wrong; or right"""
        if abs(self.analytic - self.numeric) > BARS * self.bar:
            return "wrong"
        return "silent" if max(abs(self.analytic), abs(self.numeric)) <= BARS * self.bar else "right"

    @property
    def blur(self):
        """The bar of the residual."""
        return self.bar * self.norm


class Entry(NamedTuple):
    """One entry of the block, measured by itself."""
    index: tuple
    analytic: float
    numeric: float
    bar: float
    verdict: str                                     # wrong, right, or silent: no slope, or none that shows


@dataclass(frozen=True)
class Location:
    """Where a block's gradient is wrong. str() says it in lines of at most 80 columns.

    kind     : "block", "rows", "columns", "entries", "one entry", "part" (more entries than are listed, in some rows
               and columns), or "not located". A block of more than two dimensions is a matrix whose rows are all
               indices but the last; in a vector there are only entries.
    indices  : tuples of ints: a row's selects block[index], a column's block[(..., *index)], an entry's block[index];
               of a part a pair, its rows and its columns; of the block, and where nothing is located, none
    share    : of the block's entries; where samples taken there are right, smaller accordingly
    entries  : an Entry for every one that is wrong, or for samples of the rows, columns, part or block
    complete : no measured entry there is right, and all others together showed no error above 10 bars
    """
    name: str
    kind: str
    indices: tuple
    share: float
    entries: tuple
    complete: bool
    n_evaluations: int

    @property
    def sentence(self):
        """What is found, in words."""
        return _sentence(self)

    def __str__(self):
        return textwrap.fill(self.sentence, 80, subsequent_indent="  ")


def locate(f, theta, gradient, where, shape, name="theta", rng=None, budget=BUDGET):
    """Finds the entries of one block in which gradient is not the derivative of f at theta: a Location.

    f        : flat float64 theta → one real number, the same at every call; every call gets a fresh copy
    theta    : (n,) float64        gradient : (n,) float64, the analytic one, finite in this block
    where    : the block's places in theta, as many as `shape` has entries, in C order
    shape    : the block's, () for a number        name : the block's, for the sentence
    rng      : Generator or seed for the directions and samples. Default: seed 0, so that a result repeats itself.
    budget   : the most evaluations of f

    A set is wrong where |⟨grad, v⟩ − slope| > 10 bars, as in `check_gradient`; an error below that is not located. A
    range of lines is wrong as a whole if all are, or are silent, of more than 12 in a block six that stand for all;
    so are more than 12 entries if 6 random ones are. Raises ValueError for sizes that do not fit, or a nan in gradient.
    """
    where, shape, budget = np.asarray(where).ravel(), tuple(shape), check_int("budget", budget, minimum=8 * AT_ONCE)
    if np.ndim(theta) != 1 or np.shape(theta) != np.shape(gradient):
        raise ValueError("theta and gradient must be vectors of one length, got shapes "
                         f"{np.shape(theta)} and {np.shape(gradient)}")
    if where.size == 0 or np.prod(shape, dtype=int) != where.size:
        raise ValueError(f"shape must be that of the {where.size} entries in where, at least one; got {shape}")
    if not np.isfinite(gradient[where]).all():
        raise ValueError(f"gradient must be finite in {name!r}: entries that are nan or infinite need no search")
    search = _Search(f, theta, gradient, where.reshape(-1, shape[-1] if shape else 1), budget,
                     check_rng(0 if rng is None else rng))
    complete = search.run()
    kind, indices = _kind(search.found, shape)
    measured = [Entry(_unravel(row, shape[:-1]) + (column,) * bool(shape), *probe[:3], probe.verdict)
                for (row, column), probe in sorted(search.entries.items()) if search.found[row, column]]
    n_right = sum(entry.verdict == "right" for entry in measured)
    share = float(search.found.mean()) * (1 - n_right / (len(measured) or 1))
    return Location(name, kind, indices, share, tuple(measured), complete, search.n_calls)


def _kind(found, shape):
    """The name and the indices of a pattern of wrong entries, a mask of the block as a matrix."""
    rows, columns = np.flatnonzero(found.any(axis=1)).tolist(), np.flatnonzero(found.any(axis=0)).tolist()
    n = np.count_nonzero(found)
    names, numbers = tuple(_unravel(row, shape[:-1]) for row in rows), tuple((column,) for column in columns)
    if n in (0, found.size):
        return ("block" if n else "not located"), ()
    if n == len(rows) * found.shape[1] and min(found.shape) > 1:
        return "rows", names
    if n == len(columns) * found.shape[0] and min(found.shape) > 1:
        return "columns", numbers
    if n <= N_LISTED or min(found.shape) == 1:
        cells = tuple(_unravel(row, shape[:-1]) + (column,) for row, column in np.argwhere(found).tolist())
        return ("one entry" if n == 1 else "entries"), cells
    return "part", (names, numbers)


def _unravel(row, shape):
    """The leading indices of a row of the matrix."""
    return tuple(int(index) for index in np.unravel_index(row, shape)) if shape else ()


def _sentence(found):
    """A Location in words."""
    if found.kind == "not located":
        return (f"Nothing located in {found.name}: along 3 random directions its error stays within {BARS} bars."
                if found.complete else f"Nothing located in {found.name} with {found.n_evaluations} evaluations.")
    wrong = [entry for entry in found.entries if entry.verdict == "wrong"]
    one, n_right = len(found.indices) == 1, sum(entry.verdict == "right" for entry in found.entries)
    noun = {"rows": "row" if one else "rows", "columns": "column" if one else "columns", "one entry": "entry"}
    if found.kind == "block":
        text = f"{'Part' if n_right else 'All'} of {found.name}"
    elif found.kind == "part":
        text = f"In {found.name} rows {_names(found.indices[0])} × columns {_names(found.indices[1])}"
    else:
        text = f"In {found.name} {noun.get(found.kind, found.kind)} {_names(found.indices)}"
    if not wrong:
        return (f"{text}: an error lies there, but none of {len(found.entries)} entries measured there is wrong by "
                f"itself. The search ended after {found.n_evaluations} evaluations.")
    text += f" {'is' if one or found.kind == 'block' else 'are'} wrong"
    text += " in part" if n_right and found.kind != "block" else ""
    if len(wrong) < len(found.entries) or found.kind not in ("one entry", "entries"):
        n_silent = sum(entry.verdict == "silent" for entry in found.entries)
        text += f" ({len(wrong)} of {len(found.entries)} entries measured there"
        text += f", {n_silent} without any slope)" if n_silent else ")"
    worst = max(wrong, key=lambda entry: abs(entry.analytic - entry.numeric))
    text += (f": {'' if found.kind == 'one entry' else f'at {_name(worst.index)} '}analytic {worst.analytic:.6g}, "
             f"numeric {worst.numeric:.6g} ± {worst.bar:.0e}")
    return f"{text}. " + ("The rest shows no error." if found.complete and found.kind != "block" else
                          "" if found.complete else "There may be more, or fewer: the search ended unfinished.")


def _name(index):
    return str(index[0]) if len(index) == 1 else str(index)


def _names(indices):
    """3, 5–9, (0, 4): runs of numbers are drawn together; after eight items they are only counted."""
    items, last = [], None
    for index in indices:
        if len(index) == 1 and items and last == index[0] - 1:
            items[-1] = f"{items[-1].split('–')[0]}–{index[0]}"
        else:
            items.append(_name(index))
        last = index[0] if len(index) == 1 else None
    return ", ".join(items[:8]) + (f" and {len(items) - 8} more" if len(items) > 8 else "")


# ---- the search -----------------------------------------------------------------------------------------------------

class _Search:
    """One block as a matrix of places in theta, and what is known of it so far."""

    def __init__(self, f, theta, gradient, where, budget, rng):
        self.f, self.theta, self.gradient, self.where, self.rng = f, theta, gradient, where, rng
        self.f0, self.n_calls, self.steps = float(f(theta.copy())), 1, FIRST_STEPS
        self.budget, self.limit = budget, budget - N_SAMPLES * AT_ONCE        # the rest is for single entries
        self.live = gradient[where] != 0             # samples are taken here: where nothing flows they tell nothing
        self.found, self.entries, self.probes = np.zeros(where.shape, bool), {}, {}    # entries: {(row, column): Probe}

    def run(self):
        """Marks what is found, round by round; whether the rest is seen to be right."""
        everything = [np.arange(n) for n in self.where.shape]
        for _ in range(3):                           # an error close to the bar shows in some directions only
            self.v = self.rng.uniform(0.5, 1.5, self.where.shape) * self.rng.choice([-1.0, 1.0], self.where.shape)
            self.probes.clear()
            rest = self.probe(*everything)
            if rest.verdict == "wrong":
                break
        while rest.verdict == "wrong":
            fresh = self.cells(*self.rectangle(*everything))
            unsure = any(self.entries[cell].verdict == "right" for cell in self.entries if fresh[cell])
            if unsure and self.found.any():          # what was found before is surer
                return False
            self.found |= fresh
            if unsure or not fresh.any():
                return False
            self.v[fresh] = 0
            self.probes.clear()
            rest = self.to_the_end(*everything)
        return rest.bar < np.inf

    def rectangle(self, rows, columns):
        """Rows and columns between which the errors lie. An axis with a half that is right is halved first."""
        residual = self.probe(rows, columns).residual
        for first, lines in enumerate((rows, columns)):
            halves = [self.across(first, half, rows, columns, residual) for half in np.array_split(lines, 2)]
            if any(abs(half.residual) + BARS * half.blur < BESIDE * abs(residual) for half in halves):
                break
        for axis in (first, 1 - first):
            lines = self.halve(axis, rows, columns)
            rows, columns = (lines, columns) if axis == 0 else (rows, lines)
        return rows, columns

    def halve(self, axis, rows, columns):
        """The rows (axis 0) or columns (axis 1) of rows × columns that are wrong, found level by level."""
        whole = self.probe(rows, columns)
        found, level = [], [((rows, columns)[axis], whole.residual, whole.blur)]
        while level:
            parents, level = level, []
            for lines, residual, blur in parents:
                if len(lines) == 1:
                    found.append(lines)
                    continue
                halves = self.halves(np.array_split(lines, 2), residual, blur,
                                     lambda half, sought: self.across(axis, half, rows, columns, sought))
                wrong = [half for half in halves if abs(half[1]) > max(BARS * half[2], BESIDE * abs(residual))]
                if not wrong or len(wrong) == 2 and self.all_wrong(axis, lines, rows, columns):
                    found.append(lines)              # not wrong: a kink hides it, or the budget is spent
                else:
                    level += wrong
        return np.sort(np.concatenate(found))

    @staticmethod
    def halves(halves, residual, blur, probe):
        """(lines, residual, blur) of two halves. One is measured, and the other too where the difference is blurred."""
        one = probe(halves[0], residual)
        parts = [(one.residual, one.blur), (residual - one.residual, blur + one.blur)]
        if BARS * parts[1][1] > CLEAR * abs(residual):
            two = probe(halves[1], residual)
            if "wrong" not in (one.verdict, two.verdict):                     # then as sharply as f allows
                one, two = (probe(half, 0.0) for half in halves)
            parts = [(one.residual, one.blur), (two.residual, two.blur)]
        return [(half, *part) for half, part in zip(halves, parts)]

    def all_wrong(self, axis, lines, rows, columns):
        """Whether samples of these lines, both ends among them, are all wrong or silent."""
        cells = np.ix_(lines, columns) if axis == 0 else np.ix_(rows, lines)
        live = self.live[cells].any(axis=1 - axis)
        lines = lines[live] if np.count_nonzero(live) > 1 else lines
        n_samples = len(lines) if self.where.shape[axis] <= 2 * N_SAMPLES else min(len(lines), N_SAMPLES)
        middle = self.rng.choice(lines[1:-1], n_samples - 2, replace=False)
        return all(self.across(axis, np.array([line]), rows, columns).verdict != "right"
                   for line in (lines[0], lines[-1], *middle))

    def cells(self, rows, columns):
        """A mask of the wrong entries of rows × columns: few are measured one by one, many are judged by samples."""
        mask = np.zeros(self.where.shape, bool)
        mask[np.ix_(rows, columns)] = True
        mask &= ~self.found
        line = min(len(rows), len(columns)) == 1
        one_by_one = not line and "right" in self.verdicts(mask)
        if one_by_one and not self.spent:
            scattered = self.scattered(rows, columns)
            if scattered.any() and (not self.spent or np.count_nonzero(scattered) <= 2 * N_SAMPLES):
                mask = scattered
        if np.count_nonzero(mask) <= 2 * N_SAMPLES:
            verdicts = {cell: self.verdict(cell) for cell in map(tuple, np.argwhere(mask).tolist())}
            for cell, verdict in verdicts.items():
                mask[cell] = cell in self.entries and (verdict == "wrong" or "right" not in verdicts.values())
        elif line or one_by_one:                     # else the samples have been taken
            list(self.verdicts(mask))
        return mask

    def scattered(self, rows, columns):
        """A mask of the wrong entries of rows × columns, by halving line after line of the shorter axis."""
        mask, axis = np.zeros(self.where.shape, bool), int(len(columns) < len(rows))
        residual = self.probe(rows, columns).residual
        for line in (rows, columns)[axis]:
            here = [rows, columns]
            here[axis] = np.array([line])
            if self.probe(*here, residual).verdict == "wrong":
                here[1 - axis] = self.halve(1 - axis, *here)
                mask[np.ix_(*here)] = True
        return mask & ~self.found

    def verdicts(self, mask):
        """Verdicts of samples of the entries under the mask, measured as they are asked for."""
        cells = np.argwhere(mask & self.live if np.any(mask & self.live) else mask)
        for cell in self.rng.choice(cells, min(len(cells), N_SAMPLES), replace=False).tolist():
            yield self.verdict(tuple(cell))

    def verdict(self, cell):
        """The verdict on one entry, measured as sharply as f allows."""
        if cell in self.entries:
            return self.entries[cell].verdict
        probe, sign = self.to_the_end(*np.array(cell).reshape(2, 1)), float(np.sign(self.v[cell]))
        if probe.bar < np.inf:
            self.entries[cell] = probe._replace(analytic=sign * probe.analytic, numeric=sign * probe.numeric)
        return probe.verdict

    def to_the_end(self, rows, columns):
        """The probe of rows × columns, also from the evaluations that are kept for the last."""
        limit, self.limit = self.limit, self.budget
        probe = self.probe(rows, columns)
        self.limit = limit
        return probe

    def across(self, axis, lines, rows, columns, sought=0.0):
        """The probe of these rows (axis 0) or columns (axis 1) of rows × columns."""
        return self.probe(lines, columns, sought) if axis == 0 else self.probe(rows, lines, sought)

    def probe(self, rows, columns, sought=0.0):
        """The set rows × columns, measured as sharply as f allows, or as a residual `sought` in it asks for."""
        key = rows.tobytes(), columns.tobytes(), sought
        if key not in self.probes:
            cells = np.ix_(rows, columns)
            where, v = self.where[cells].ravel(), self.v[cells].ravel()
            norm = float(np.linalg.norm(v))
            self.probes[key] = self.slopes(where, v / norm, norm, abs(sought)) if norm else Probe(0.0, 0.0, 0.0, 0.0)
        return self.probes[key]

    def slopes(self, where, v, norm, sought):
        """The Probe of the entries `where` along the unit direction v, by Ridders at the step that suited before."""
        def along(t):
            if t == 0:
                return self.f0
            self.n_calls += 1
            theta = self.theta.copy()
            theta[where] += t * v
            return self.f(theta)

        gradient = self.gradient[where]
        analytic, reach, best = float(np.sum(gradient * v)), 0.0, Probe(0.0, 0.0, np.inf, norm)
        noise, rough = EPS * np.linalg.norm(gradient * self.theta[where]), COARSE * sought / norm
        for h in self.steps:
            if self.spent:
                break
            slope = ridders(along, h=h, noise=max(noise, rough * h))
            too_fine = slope.reach == 0 < reach and abs(analytic) > BARS * slope.bar     # f moves in coarser grains
            if slope.bar < best.bar and not too_fine:
                best, reach = Probe(analytic, slope.value, slope.bar, norm), slope.reach
                self.steps = (h, *(other for other in FIRST_STEPS if other != h))
            sharp = SHARP * max(abs(analytic), abs(best.numeric))
            if 4 * BARS * best.blur <= BESIDE * sought or best.verdict == "wrong" and best.bar <= sharp:
                break
            if best.bar <= 100 * slope.floor and slope.floor >= 100 * rough:     # rounding: no step is better
                break
        return best

    @property
    def spent(self):
        """Whether the evaluations that are left do not suffice for one more slope."""
        return self.n_calls + AT_ONCE > self.limit
