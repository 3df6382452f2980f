"""What the emoji model knows, in words: concepts, and the prompts that a person would type for them.

One line a concept: the emoji's short name in the data, and its plain name here. A concept is left out where 64 pixels
cannot show it, where it only differs from another in small print, or where it means something only to those who know it.
"""

import random
from dataclasses import dataclass, replace

STYLES = {"google": "shaded", "twitter": "flat"}
TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}
NO_TONE = "yellow"  # what an emoji person has when no skin tone is chosen

# Professions: the data have a man and a woman of each, in six tones.
ROLES = {
    "farmer": "farmer",
    "cook": "cook",
    "student": "student",
    "singer": "singer",
    "artist": "artist",
    "astronaut": "astronaut",
    "firefighter": "firefighter",
    "doctor": "doctor",
    "police-officer": "police officer",
    "construction-worker": "construction worker",
    "mage": "wizard",
}
# Other people, by short name.
PEOPLE = {
    "man": "man",
    "woman": "woman",
    "boy": "boy",
    "girl": "girl",
    "baby": "baby",
    "older_man": "old man",
    "older_woman": "old woman",
    "santa": "santa claus",
    "princess": "princess",
    "ninja": "ninja",
}
HANDS = {"wave": "waving hand", "+1": "thumbs up"}
THINGS = {
    "food": """
tomato: tomato; grapes: bunch of grapes; watermelon: slice of watermelon; tangerine: orange fruit; lemon: lemon; banana: banana;
pineapple: pineapple; apple: red apple; pear: pear; peach: peach; cherries: cherries; strawberry: strawberry; kiwifruit: kiwi;
hot_pepper: hot pepper; corn: corn; mushroom: mushroom; eggplant: eggplant; avocado: avocado; carrot: carrot; broccoli: broccoli;
bread: loaf of bread; hotdog: hot dog; hamburger: hamburger; pizza: slice of pizza; fries: french fries; popcorn: popcorn;
fried_egg: fried egg; pretzel: pretzel; cheese_wedge: cheese; icecream: ice cream cone; doughnut: doughnut; cookie: cookie;
candy: candy; lollipop: lollipop; cake: slice of cake; birthday: birthday cake; cupcake: cupcake; wine_glass: glass of wine;
cocktail: cocktail; beer: mug of beer; coffee: cup of coffee
""",
    "animal": """
mouse: mouse face; cow: cow face; tiger: tiger face; rabbit: rabbit face; cat: cat face; monkey_face: monkey face; dog: dog face;
pig: pig face; wolf: wolf face; bear: bear face; panda_face: panda face; lion_face: lion face; fox_face: fox face;
unicorn_face: unicorn face; koala: koala face; frog: frog face; chicken: chicken face; penguin: penguin; hatched_chick: baby chick;
owl: owl; bird: bird; duck: duck; flamingo: flamingo; parrot: parrot; swan: swan; cat2: cat; dog2: dog; rabbit2: rabbit;
elephant: elephant; giraffe_face: giraffe; sheep: sheep; pig2: pig; cow2: cow; racehorse: horse; turtle: turtle; snake: snake;
crocodile: crocodile; sauropod: dinosaur; whale: whale; dolphin: dolphin; fish: fish; tropical_fish: tropical fish;
blowfish: blowfish; octopus: octopus; crab: crab; snail: snail; butterfly: butterfly; bee: bee; ladybug: ladybug; spider: spider
""",
    "face": """
grinning: happy face; joy: laughing face; heart_eyes: face with heart eyes; sunglasses: face with sunglasses; sob: crying face;
rage: angry red face; sleeping: sleeping face; mask: face with a mask; nauseated_face: sick green face; face_with_cowboy_hat: cowboy face;
smiling_imp: purple devil face; clown_face: clown face; ghost: ghost; alien: alien; robot_face: robot face; skull: skull;
hankey: pile of poo; jack_o_lantern: pumpkin lantern
""",
    "plant": """
tulip: tulip; rose: rose; sunflower: sunflower; cherry_blossom: cherry blossom; evergreen_tree: fir tree; deciduous_tree: tree;
palm_tree: palm tree; cactus: cactus; four_leaf_clover: four leaf clover; christmas_tree: christmas tree
""",
    "sky": """
sunny: sun; full_moon_with_face: moon with a face; crescent_moon: crescent moon; star: star; cloud: cloud;
partly_sunny: sun behind a cloud; rainbow: rainbow; snowflake: snowflake; snowman_without_snow: snowman; fire: fire;
droplet: drop of water; earth_africa: planet earth; umbrella: umbrella; zap: lightning bolt
""",
    "object": """
car: car; bus: bus; fire_engine: fire engine; ambulance: ambulance; tractor: tractor; bike: bicycle; rocket: rocket;
airplane: airplane; boat: sailboat; flying_saucer: ufo; house: house; tent: tent; soccer: soccer ball; basketball: basketball;
trophy: trophy; balloon: balloon; gift: gift; teddy_bear: teddy bear; crown: crown; tophat: top hat; shirt: t-shirt; jeans: jeans;
dress: dress; socks: socks; high_heel: high heel; gem: diamond; closed_book: book; bell: bell; key: key; lock: lock; guitar: guitar;
alarm_clock: alarm clock; bulb: light bulb; camera: camera; bomb: bomb; hammer: hammer; magnet: magnet; anchor: anchor;
pencil2: pencil; moneybag: bag of money
""",
}
HEARTS = {
    "heart": "red",
    "orange_heart": "orange",
    "yellow_heart": "yellow",
    "green_heart": "green",
    "blue_heart": "blue",
    "light_blue_heart": "light blue",
    "purple_heart": "purple",
    "pink_heart": "pink",
    "brown_heart": "brown",
    "black_heart": "black",
    "grey_heart": "grey",
    "white_heart": "white",
}
CIRCLES = {
    "red_circle": "red",
    "large_orange_circle": "orange",
    "large_yellow_circle": "yellow",
    "large_green_circle": "green",
    "large_blue_circle": "blue",
    "large_purple_circle": "purple",
    "large_brown_circle": "brown",
    "black_circle": "black",
    "white_circle": "white",
}
SQUARES = {
    "large_red_square": "red",
    "large_orange_square": "orange",
    "large_yellow_square": "yellow",
    "large_green_square": "green",
    "large_blue_square": "blue",
    "large_purple_square": "purple",
    "large_brown_square": "brown",
    "black_large_square": "black",
    "white_large_square": "white",
}
SHAPES = {
    **{short: (color, "heart") for short, color in HEARTS.items()},
    **{short: (color, "circle") for short, color in CIRCLES.items()},
    **{short: (color, "square") for short, color in SQUARES.items()},
}
# Painted in other colours (data.painted): the picture, and the colour that it has itself.
PAINTED = {
    "star": ("star", "yellow"),
    "car": ("car", "red"),
    "balloon": ("balloon", "red"),
    "butterfly": ("butterfly", "blue"),
    "shirt": ("t-shirt", "blue"),
    "closed_book": ("book", "red"),
    "tulip": ("tulip", "pink"),
    "fish": ("fish", "blue"),
    "apple": ("apple", "red"),
    "cat": ("cat face", "orange"),
}
PAINT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")

# Never trained on: what a model that has understood its prompts can draw all the same. (profession, tone), (colour, shape).
HELD_OUT_PEOPLE = {
    ("firefighter", "dark"),
    ("farmer", "light"),
    ("cook", "medium-dark"),
    ("astronaut", "medium-light"),
    ("police officer", "medium"),
    ("student", "dark"),
    ("singer", "medium-dark"),
    ("artist", "light"),
    ("doctor", "medium"),
    ("wizard", "dark"),
    ("santa claus", "dark"),
    ("princess", "medium-dark"),
}
HELD_OUT_COLORS = {
    ("green", "heart"),
    ("purple", "circle"),
    ("orange", "square"),
    ("red", "star"),
    ("blue", "car"),
    ("yellow", "balloon"),
    ("purple", "butterfly"),
    ("green", "t-shirt"),
    ("yellow", "book"),
    ("blue", "tulip"),
    ("orange", "fish"),
    ("purple", "apple"),
    ("green", "cat face"),
}


@dataclass(frozen=True)
class Caption:
    """What a picture shows. An empty string: does not apply, or is not said.

    name   "firefighter", "apple", "heart"
    group  people, hand, shape, painted, or a key of THINGS
    who    man, woman
    tone   light, medium-light, medium, medium-dark, dark; yellow for none chosen
    color  of shapes and painted things
    style  flat, shaded
    """

    name: str
    group: str
    who: str = ""
    tone: str = ""
    color: str = ""
    style: str = ""

    @property
    def held_out(self) -> bool:
        return (self.name, self.tone) in HELD_OUT_PEOPLE or (self.color, self.name) in HELD_OUT_COLORS

    def text(self) -> str:
        """As a person would type it: "a woman firefighter with dark skin, flat style"."""
        words = " ".join(part for part in (self.color, self.who, self.name) if part)
        plural = self.name in PLURAL
        words = words if plural else f"{'an' if words[0] in 'aeiou' and words != 'ufo' else 'a'} {words}"
        if self.tone:
            joint = " and " if " with " in words else " with "
            words += f"{joint}{self.tone} skin"
        return words + (f", {self.style} style" if self.style else "")

    def plain(self) -> "Caption":
        """The name alone: the weak side of the prompt gap."""
        return replace(self, who="", tone="", color="", style="")


PLURAL = {"cherries", "french fries", "jeans", "socks", "corn", "broccoli", "cheese", "popcorn", "thumbs up", "fire"}
PLURAL |= {"planet earth", "santa claus"}


def dropped(caption: Caption, rng: random.Random) -> Caption:
    """With some of the attributes left unsaid, each by itself, so that the model knows plain prompts too."""
    keep = {key: getattr(caption, key) if rng.random() < share else "" for key, share in SAID.items()}
    return replace(caption, **keep)


SAID = {"who": 0.85, "tone": 0.85, "color": 0.9, "style": 0.75}


PREFIXES = ("a picture of ", "an emoji of ", "emoji, ")


def variants(caption: Caption) -> list:
    """The same caption as different people type it; the first is the usual one."""
    usual = caption.text()
    bare = usual.partition(" ")[2] if usual.startswith(("a ", "an ")) else usual
    found = [usual, bare]
    if caption.style:
        alone = replace(caption, style="").text()
        found += [f"{alone} in {caption.style} style", f"{caption.style} style, {alone}"]
    return found


def typed(caption: Caption, rng: random.Random) -> str:
    """One of the variants, mostly the usual one; sometimes after a prefix."""
    ways = variants(caption)
    words = ways[0] if rng.random() < 0.6 else rng.choice(ways)
    return rng.choice(PREFIXES) + words if rng.random() < 0.1 else words


def things() -> dict:
    """{short name: (name, group)} of all THINGS."""
    found = {}
    for group, lines in THINGS.items():
        for entry in lines.replace("\n", " ").split(";"):
            short, _, name = entry.strip().partition(": ")
            found[short] = (name, group)
    return found


def every():
    """Every full caption there can be, held out or not."""
    for style in STYLES.values():
        for name in ROLES.values():
            for who in ("man", "woman"):
                for tone in (NO_TONE, *TONES.values()):
                    yield Caption(name, "people", who=who, tone=tone, style=style)
        for group, names in (("people", PEOPLE), ("hand", HANDS)):
            for name in names.values():
                for tone in (NO_TONE, *TONES.values()):
                    yield Caption(name, group, tone=tone, style=style)
        for short, (name, group) in things().items():
            if short in PAINTED:
                name = PAINTED[short][0]
                for color in PAINT:
                    yield Caption(name, "painted", color=color, style=style)
            else:
                yield Caption(name, group, style=style)
        for color, name in SHAPES.values():
            yield Caption(name, "shape", color=color, style=style)
