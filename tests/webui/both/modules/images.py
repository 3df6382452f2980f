from types import SimpleNamespace

from PIL import Image, ImageFont

saved = []


def GridAnnotation(text=""):
    return SimpleNamespace(text=text)


def get_font(fontsize):
    return ImageFont.load_default(fontsize)


def image_grid(imgs, batch_size=1, rows=None):
    grid = Image.new("RGB", (sum(image.width for image in imgs), imgs[0].height))
    for i, image in enumerate(imgs):
        grid.paste(image, (i * image.width, 0))
    return grid


def draw_grid_annotations(im, width, height, hor_texts, ver_texts, margin=0):
    im.info["labels"] = [text.text for texts in hor_texts for text in texts]
    return im


def save_image(image, path, basename, seed=None, prompt=None, extension="png", info=None, **how):
    saved.append(SimpleNamespace(image=image, path=path, basename=basename, seed=seed, info=info))
