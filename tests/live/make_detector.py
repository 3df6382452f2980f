"""Writes a detector for ADetailer that finds a face in any picture: python make_detector.py FILE.pt

FILE is in the WebUI's models/adetailer; the Python is one that has ultralytics, as the WebUI's own with ADetailer. The
live tests use the detector if its name is always_face.pt: small models draw no face that a trained one would find.
A YOLOv8 as ultralytics builds it, whose last layers answer the same wherever they look: of the coarsest of three grids
every cell is the middle of a face that reaches eight cells in each direction.
"""

import argparse

import torch
from ultralytics import YOLO

BINS = 16  # a side's distance from the middle is a softmax over so many
SURE, NEVER, FAR = 8.0, -20.0, 8


def silence(conv, bias) -> None:
    """Have a layer answer `bias` to everything."""
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.copy_(bias)


def main(file: str) -> None:
    yolo = YOLO("yolov8n.yaml")
    yolo.model.names = {0: "face"}
    head = yolo.model.model[-1]
    distance = torch.full((BINS,), NEVER)
    distance[FAR] = SURE
    for level, (box, score) in enumerate(zip(head.cv2, head.cv3)):
        coarsest = level == len(head.cv2) - 1
        found = torch.full_like(score[-1].bias, NEVER)
        found[0] = SURE if coarsest else NEVER
        silence(box[-1], distance.repeat(4))
        silence(score[-1], found)
    yolo.save(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    main(parser.parse_args().file)
