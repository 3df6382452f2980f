// What a request costs in UNet rows: lib_w2sd/cost.py in the page's language, function by function. The table
// tests/cost_cases.json is tested in both.

const w2sdCost = (() => {
    const FIXED_POINT_ROUNDS = 3;

    function stepsMade(kind, steps, denoising, exactly) {
        steps = Math.max(steps, 1);
        const txt2img = denoising === null || denoising === undefined;
        const made = txt2img || exactly ? steps : Math.trunc(Math.min(denoising, 0.999) * steps) + 1;
        if (kind === "timesteps" || kind === "plms") {
            const entries = txt2img ? Math.ceil(1000 / Math.floor(1000 / Math.min(steps, 1000))) : made - 1;
            return Math.max(entries - 1, 0);
        }
        return kind === "fast" ? Math.floor(made / 3) + 1 : made;
    }

    function callsMade(kind, steps, denoising, exactly) {
        const made = stepsMade(kind, steps, denoising, exactly);
        switch (kind) {
        case "fast": return stepsMade("one", steps, denoising, exactly);
        case "plms": return made + Math.min(made, 1);
        case "two": return 2 * made - 1;
        case "three": return Math.max(3 * made - 3, 1);
        case "half": return made + 2 * Math.min(made, Math.floor(made / 2) + 1);
        default: return made;
        }
    }

    const evaluationRows = (scale) => (scale === 0 || scale === 1 ? 1 : 2);

    // A number that may be left empty.
    const orNull = (value) =>
        (value === null || value === undefined || String(value).trim() === "" ? null : Number(value));

    const strongCfg = (settings, scale) => orNull(settings.strong_cfg) ?? scale;

    // <lora:name:scale>, as lib_w2sd/lora.py finds them.
    const tagsOf = (text) => (text || "").match(/<lora:[^<>]*>/g) || [];
    const withoutTags = (text) => (text || "").replace(/<lora:[^<>]*>/g, "").trim();

    // What differs on the weak side: {prompt, negative, loras, checkpoint, distilled}, as lib_w2sd/gaps.py says.
    function gapsOf(settings, loras) {
        const tags = [...tagsOf(settings.weak_prompt), ...tagsOf(settings.weak_loras)].length > 0;
        const offset = Boolean(settings.weak_lora_offset || settings.strong_lora_offset);
        return {
            prompt: withoutTags(settings.weak_prompt) !== "{prompt}",
            negative: settings.weak_negative_prompt.trim() !== "{negative_prompt}",
            loras: tags || (offset && loras),
            checkpoint: Boolean(settings.weak_checkpoint) && settings.weak_checkpoint !== "None",
            distilled: orNull(settings.strong_distilled_cfg) !== orNull(settings.weak_distilled_cfg),
        };
    }

    function reflectionRows(settings, scale, loras) {
        const strong_cfg = strongCfg(settings, scale), weak_cfg = settings.weak_cfg;
        const strong = evaluationRows(strong_cfg), weak = evaluationRows(weak_cfg);
        if (settings.inversion === "paper") return strong + weak;
        const gaps = gapsOf(settings, loras);
        const others = gaps.loras || gaps.checkpoint || gaps.distilled ||
            (gaps.prompt && weak_cfg !== 0) || (gaps.negative && weak_cfg !== 1);
        const apart = others || (strong === 1 && weak === 1 && strong_cfg !== weak_cfg);
        const shared = apart ? 0 : Math.min(strong, weak);
        const moves = others || strong_cfg !== weak_cfg;
        const rounds = settings.inversion === "fixed-point" && moves ? FIXED_POINT_ROUNDS : 1;
        return strong + weak * rounds - shared;
    }

    function lambdaOf(settings, hires) {
        if (!hires || settings.hires === "same") return settings.lambda_steps;
        return settings.hires === "own" ? settings.hires_lambda_steps : 0;
    }

    function estimate(request) {
        const settings = request.settings, hires = request.hires, skips = Boolean(request.skips_uncond);
        const denoising = request.denoising === undefined ? null : request.denoising;
        const passes = [[request.kind, request.steps, request.cfg, 1, denoising, Boolean(request.exactly), false]];
        if (hires) passes.push([hires.kind, hires.steps || request.steps, hires.cfg, hires.area, 1, true, true]);
        const result = {steps: [], reflected: [], plain: 0, rows: 0, ratio: 1};
        let plainTime = 0, time = 0;
        for (const [kind, steps, scale, area, strength, asMany, isHires] of passes) {
            const made = stepsMade(kind, steps, strength, asMany);
            const calls = callsMade(kind, steps, strength, asMany);
            const own = calls * (scale === 1 && skips ? 1 : 2);
            const lambda = lambdaOf(settings, isHires);
            const acts = settings.enabled && lambda !== 0 && (settings.strength !== 0 || settings.weak_alone);
            const most = Math.max(made - 1, 0);
            const reflected = acts && !settings.weak_alone ? (lambda < 0 ? most : Math.min(lambda, most)) : 0;
            const total = acts && settings.weak_alone ?
                calls * (skips ? evaluationRows(settings.weak_cfg) : 2) :
                own + (reflected ? reflected * reflectionRows(settings, scale, Boolean(request.loras)) : 0);
            result.steps.push(made);
            result.reflected.push(reflected);
            result.plain += own;
            result.rows += total;
            plainTime += own * area;
            time += total * area;
        }
        const pictures = request.pictures || 1;
        result.plain *= pictures;
        result.rows *= pictures;
        result.ratio = plainTime ? time / plainTime : 1;
        return result;
    }

    // One line for the accordion.
    function words(result) {
        const lambda = result.reflected.join(" + "), steps = result.steps.join(" + ");
        const times = result.ratio.toFixed(2).replace(/\.?0+$/, "");
        return `${steps} steps, lambda ${lambda}: ${result.rows} instead of ${result.plain} UNet rows, ` +
            `about ${times} × the time`;
    }

    return {estimate, words, orNull, strongCfg, gapsOf, lambdaOf, tagsOf};
})();

if (typeof module !== "undefined") module.exports = w2sdCost;
