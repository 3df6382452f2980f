import re
from collections import defaultdict


def parse_prompts(prompts):
    """The prompts without <name:argument:...>, and what the first one named."""
    texts, data = [], None
    for prompt in prompts:
        found = defaultdict(list)
        for name, arguments in re.findall(r"<(\w+):([^>]+)>", prompt):
            found[name].append(arguments.split(":"))
        texts.append(re.sub(r"<\w+:[^>]+>", "", prompt))
        data = found if data is None else data
    return texts, data
