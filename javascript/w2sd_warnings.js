// What a user should know before the click. Pure: settings and page in, sentences out (tests/test_warnings.py).

const w2sdWarnings = (() => {
    const costs = typeof w2sdCost !== "undefined" ? w2sdCost : require("./w2sd_cost.js");
    const short = (name) => (name || "").replace(/\s*\[[0-9a-f]+\]\s*$/i, "").replace(/^.*[\\/]/, "");
    const number = (value) => String(Math.round(value * 1000) / 1000);

    // page: cfg, steps, distilled_cfg (null where there is none), loras, sampler, footnotes, checkpoint, flux
    // reflected, made: w2sdCost.estimate's, of the first pass
    function warnings(settings, page, made, reflected) {
        const said = [];
        const gaps = costs.gapsOf(settings, page.loras);
        const strong = costs.strongCfg(settings, page.cfg), weak = settings.weak_cfg;
        const distilled = (value) => costs.orNull(value) ?? page.distilled_cfg;
        const note = (page.footnotes || {})[page.sampler];
        if (note) said.push(`${page.sampler}: ${note}.`);
        if (settings.lambda_steps > made - 1 && made > 1) {
            said.push(`Lambda is ${settings.lambda_steps}, but ${made} steps allow ${made - 1}: the last is never reflected.`);
        }
        if (settings.lambda_steps === 0 || settings.strength === 0) {
            said.push(`${settings.lambda_steps === 0 ? "Lambda" : "Strength"} is 0: this is the plain picture.`);
        }

        // What cannot count: the negative prompt alone is asked at CFG 0, the prompt alone at CFG 1.
        const prompt = gaps.prompt && weak !== 0, negative = gaps.negative && weak !== 1;
        if (gaps.prompt && !prompt) said.push("The weak prompt has no effect at weak CFG 0.");
        if (gaps.negative && !negative) said.push("The weak negative prompt has no effect at weak CFG 1.");
        const offset = settings.weak_lora_offset !== 0 || settings.strong_lora_offset !== 0;
        if (offset && !page.loras) said.push("A LoRA offset has no effect: the prompt has no LoRA.");
        const same = gaps.checkpoint && page.checkpoint && short(settings.weak_checkpoint) === short(page.checkpoint);
        if (same) said.push("The weak checkpoint is the loaded one: between them there is no gap.");
        if (gaps.checkpoint && gaps.loras) {
            said.push("A weak checkpoint together with LoRA scales of one side will be refused: choose one of the two.");
        }
        if (gaps.distilled && !page.flux) {
            said.push("Distilled CFG will be refused unless the checkpoint has it (Flux on Forge).");
        }

        // The weak side at least as strong as the strong one: paper, Figure 12.
        const negativeGain = "the paper's gains then turn negative (Figure 12)";
        if (weak > strong) said.push(`Weak CFG ${number(weak)} is above the strong side's ${number(strong)}: ${negativeGain}.`);
        if (gaps.loras && settings.weak_lora_offset > settings.strong_lora_offset) {
            said.push(`The weak side's LoRA offset ${number(settings.weak_lora_offset)} is above the strong side's ` +
                `${number(settings.strong_lora_offset)}: ${negativeGain}.`);
        }
        if (gaps.distilled && page.flux && distilled(settings.weak_distilled_cfg) > distilled(settings.strong_distilled_cfg)) {
            said.push(`The weak side's distilled CFG is above the strong side's: ${negativeGain}.`);
        }
        if (page.flux && page.cfg === 1 && strong === 1 && weak !== 1) {
            said.push("Flux at CFG 1 has no CFG guidance to take away, weak CFG only asks for the negative prompt: " +
                "the preset \"Flux guidance\" is for it.");
        }
        const others = prompt || negative || gaps.loras || (gaps.checkpoint && !same) || gaps.distilled;
        if (weak === strong && !others) {
            const choose = gaps.checkpoint || gaps.prompt ? "" : " Choose what the weak side has, or a preset.";
            said.push(`Both sides are the same: W2SD changes nothing but the time.${choose}`);
        }
        if (settings.weak_alone) said.push("The weak side draws alone: nothing is reflected.");
        return said;
    }

    return {warnings};
})();

if (typeof module !== "undefined") module.exports = w2sdWarnings;
