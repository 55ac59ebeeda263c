"""MTCNN's networks and boxes, written down again: loops, and images turned instead of weights.

The published weights belong to images kept column by column. Here an upright image is turned
over its diagonal and meets the kernels as they are in the file, the way the authors ran them.
"""

from __future__ import annotations

import math

import numpy as np


def convolution(maps, kernel, bias):
    filters, _, kh, kw = kernel.shape
    _, h, w = maps.shape
    out = np.empty((filters, h - kh + 1, w - kw + 1))
    for f in range(filters):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                out[f, y, x] = (maps[:, y : y + kh, x : x + kw] * kernel[f]).sum() + bias[f]
    return out


def prelu(values, slopes):
    slopes = slopes.reshape(-1, *[1] * (values.ndim - 1))
    return np.where(values > 0, values, slopes * values)


def pool(maps, side, stride):
    """Maximum over windows; the last one may reach over the edge."""
    c, h, w = maps.shape
    oh, ow = math.ceil((h - side) / stride) + 1, math.ceil((w - side) / stride) + 1
    out = np.empty((c, oh, ow))
    for y in range(oh):
        for x in range(ow):
            out[:, y, x] = maps[:, y * stride : y * stride + side, x * stride : x * stride + side].max(
                axis=(1, 2)
            )
    return out


def softmax(values):
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


def network(layout, weights, image):
    """Outputs for one image, float (3, h, w) upright and scaled."""
    maps = image.transpose(0, 2, 1).astype(np.float64)
    for layer in layout.convolutions:
        maps = prelu(convolution(maps, *weights[layer.name]), weights[layer.slopes][0])
        if layer.pool:
            maps = pool(maps, *layer.pool)
    if layout.dense is None:
        outputs = [
            convolution(maps, weights[name][0].reshape(width, -1, 1, 1), weights[name][1]).transpose(0, 2, 1)
            for name, width in layout.outputs
        ]
    else:
        name, slopes, width, *_ = layout.dense
        matrix, bias = weights[name]
        flat = prelu(matrix.reshape(width, -1) @ maps.ravel() + bias, weights[slopes][0])
        outputs = [
            weights[name][0].reshape(width, -1) @ flat + weights[name][1] for name, width in layout.outputs
        ]
    return [softmax(outputs[0]), *outputs[1:]]


def suppress(boxes, scores, overlap, of_smaller=False):
    def area(b):
        return (b[2] - b[0]) * (b[3] - b[1])

    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            w = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            h = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            shared = max(w, 0) * max(h, 0)
            whole = (
                min(area(boxes[i]), area(boxes[j]))
                if of_smaller
                else area(boxes[i]) + area(boxes[j]) - shared
            )
            if shared > overlap * whole:
                break
        else:
            kept.append(i)
    return kept
