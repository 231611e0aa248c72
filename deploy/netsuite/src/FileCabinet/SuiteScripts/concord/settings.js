/**
 * The script parameters. A script can read only its own, so each has them under its own prefix.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['N/runtime', './webhooks'], (runtime, webhooks) => {
    const MODES = ['outbox', 'direct', 'off'];
    const DEFAULT_BUDGET_MS = 2000;
    const MOST_BUDGET_MS = 45000;

    /** `{mode, url, secret, account, budgetMs}`; `prefix` is `custscript_concord_ue` or `custscript_concord_mr`. */
    const read = (prefix) => {
        const script = runtime.getCurrentScript();
        const text = (name) => {
            const value = script.getParameter({ name: `${prefix}_${name}` });
            return value === null || value === undefined ? '' : String(value).trim();
        };
        const account = text('account') || String(runtime.accountId);
        const url = text('url');
        const budget = Number(text('budget_ms'));
        // An unknown word must not switch the network on, and must not lose changes either.
        const mode = MODES.includes(text('mode').toLowerCase()) ? text('mode').toLowerCase() : 'outbox';
        return {
            mode, account,
            url: url && webhooks.eventsUrl(url, account),
            secret: text('secret'),
            budgetMs: budget > 0 && budget <= MOST_BUDGET_MS ? budget : DEFAULT_BUDGET_MS,
        };
    };

    return { read };
});
