/**
 * Concord: sends what waits in the outbox, a hundred events to a request, and deletes what ingest has acknowledged.
 *
 * @NApiVersion 2.1
 * @NScriptType MapReduceScript
 * @NModuleScope SameAccount
 */
define(['N/cache', 'N/log', 'N/runtime', './capture', './flush', './outbox', './rows', './sender', './settings'], (
    cache, log, runtime, capture, flush, outbox, rows, sender, settings,
) => {
    const CACHE = 'concord';
    const PAUSE = 'flush_paused';
    /** As short as N/cache allows: the rest of this run, and no more of the next. */
    const PAUSE_SECONDS = 300;

    const entries = () => cache.getCache({ name: CACHE, scope: cache.Scope.PROTECTED });

    // Without the cache a run only tries more often than it need.
    const quietly = (action, otherwise) => {
        try {
            return action();
        } catch (_) {
            return otherwise;
        }
    };

    const portOf = (configured) => {
        let stopped = false;
        return {
            load: rows.load, drop: rows.drop, mark: rows.mark,
            post: (body) => sender.post(configured, body, Date.now()),
            paused: () => stopped || Boolean(quietly(() => entries().get({ key: PAUSE }), false)),
            pause: () => {
                stopped = true;
                quietly(() => entries().put({ key: PAUSE, value: 'T', ttl: PAUSE_SECONDS }));
            },
            remainingUsage: () => runtime.getCurrentScript().getRemainingUsage(),
            log: (level, title, details) => log[level]({ title, details }),
        };
    };

    const getInputData = () => {
        const configured = settings.read('custscript_concord_mr');
        if (!configured.url || !configured.secret) {
            const details = 'the ingest URL or the API secret is not set';
            log.error({ title: 'concord: the outbox is not sent', details });
            return [];
        }
        return outbox.lots(rows.waiting());
    };

    const map = (context) => {
        const port = portOf(settings.read('custscript_concord_mr'));
        const counts = flush.lot(JSON.parse(context.value), port);
        Object.keys(counts).filter((name) => counts[name] > 0).forEach((name) => {
            context.write({ key: name, value: String(counts[name]) });
        });
    };

    const summarize = (summary) => {
        const totals = { delivered: 0, kept: 0, refused: 0 };
        summary.output.iterator().each((key, value) => {
            totals[key] += Number(value);
            return true;
        });
        let failed = 0;
        summary.mapSummary.errors.iterator().each(() => {
            failed += 1;
            return true;
        });
        if (summary.inputSummary.error) failed += 1;
        const { delivered, kept, refused } = totals;
        const details = `delivered ${delivered}, kept ${kept}, refused ${refused}, failed ${failed}`;
        log[failed + refused > 0 ? 'error' : 'audit']({ title: 'concord: outbox', details });
    };

    return { getInputData, map, summarize };
});
