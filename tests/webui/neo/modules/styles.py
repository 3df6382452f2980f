class Styles:
    """None is ever chosen."""

    def apply_styles_to_prompt(self, prompt, styles):
        return prompt

    apply_negative_styles_to_prompt = apply_styles_to_prompt
