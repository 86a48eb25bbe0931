"""Trains an MLP on Fashion-MNIST, or any set in MNIST's files, and prints the lines that `batchwise sweep` reads.

    batchwise check trainer -- python3 train.py --batch {batch} --lr {lr} --seed {seed} --examples {examples}

The data set is looked for in the folder `fashion-mnist` of $BATCHWISE_DATA, or where --data says.

Nothing here is special to batchwise but `report`: a JSON object on a line of its own, with `examples` and at least one
outcome. Everything else that is printed is kept in the trial's log and not judged.
"""

import argparse
import gzip
import json
import os
import time

import numpy
import torch
from torch import nn


def idx(path):
    """The array of an IDX file, gzipped or not."""
    if not os.path.exists(path):
        path += ".gz"
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        data = file.read()
    dimensions = data[3]
    shape = numpy.frombuffer(data, ">u4", dimensions, 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def part(folder, name):
    images = torch.from_numpy(idx(os.path.join(folder, f"{name}-images-idx3-ubyte")).copy())
    labels = torch.from_numpy(idx(os.path.join(folder, f"{name}-labels-idx1-ubyte")).copy())
    return images.flatten(1).float().div(255), labels.long()


def report(**fields):
    print(json.dumps(fields), flush=True)


def squared_norm(parameters):
    return sum(float(p.grad.square().sum()) for p in parameters)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.path.join(os.environ.get("BATCHWISE_DATA", "."), "fashion-mnist"))
    arguments.add_argument("--batch", type=int, required=True)
    arguments.add_argument("--lr", type=float, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--momentum", type=float, default=0.9)
    arguments.add_argument("--examples", type=int, default=600_000)
    arguments.add_argument("--evaluate-every", type=int, default=20_000)
    arguments.add_argument("--noise-every", type=int, default=20, help="evaluate the noise each so many steps")
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()

    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    torch.use_deterministic_algorithms(True)
    images, labels = part(given.data, "train")
    mean, deviation = images.mean(), images.std()
    images = (images - mean) / deviation
    test_images, test_labels = part(given.data, "t10k")
    test_images = (test_images - mean) / deviation

    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=given.lr, momentum=given.momentum)
    loss_of = nn.CrossEntropyLoss()
    order = torch.Generator().manual_seed(given.seed)

    examples = steps = 0
    due = given.evaluate_every
    seconds = 0.0
    queue = torch.empty(0, dtype=torch.long)
    loss_sum, loss_steps = 0.0, 0
    norms = {}
    while examples < given.examples:
        begun = time.perf_counter()
        while len(queue) < given.batch:
            queue = torch.cat([queue, torch.randperm(len(images), generator=order)])
        rows, queue = queue[: given.batch], queue[given.batch :]
        optimizer.zero_grad()
        micro = given.batch // 8
        if micro > 0 and given.batch % 8 == 0 and steps % given.noise_every == 0:
            # The same gradient from eight micro-batches, whose norms tell the noise.
            parameters = list(model.parameters())
            total = [torch.zeros_like(p) for p in parameters]
            micro_norm2, loss = 0.0, 0.0
            for some in rows.split(micro):
                optimizer.zero_grad()
                part_loss = loss_of(model(images[some]), labels[some])
                part_loss.backward()
                micro_norm2 += squared_norm(parameters) / 8
                loss += part_loss.item() / 8
                for sum_, p in zip(total, parameters):
                    sum_.add_(p.grad, alpha=1 / 8)
            for sum_, p in zip(total, parameters):
                p.grad = sum_
            norms = {"micro_norm2": micro_norm2, "batch_norm2": squared_norm(parameters), "micro_batch": micro}
        else:
            loss_tensor = loss_of(model(images[rows]), labels[rows])
            loss_tensor.backward()
            loss = loss_tensor.item()
        optimizer.step()
        examples += given.batch
        steps += 1
        loss_sum += loss
        loss_steps += 1
        # Evaluations are no training: the clock is this script's own.
        seconds += time.perf_counter() - begun
        if norms and (examples < due and examples < given.examples):
            report(examples=examples, steps=steps, seconds=seconds, **norms)
            norms = {}
        if examples < due and examples < given.examples:
            continue
        due = examples - examples % given.evaluate_every + given.evaluate_every
        with torch.no_grad():
            scores = model(test_images)
            accuracy = (scores.argmax(1) == test_labels).float().mean().item()
            test_loss = loss_of(scores, test_labels).item()
        report(
            examples=examples,
            steps=steps,
            seconds=seconds,
            train_loss=loss_sum / loss_steps,
            loss=test_loss,
            metric=accuracy,
            **norms,
        )
        norms = {}
        loss_sum, loss_steps = 0.0, 0


if __name__ == "__main__":
    main()
