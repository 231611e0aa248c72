/**
 * Sends one lot of outbox rows and clears away what ingest has acknowledged.
 *
 * The port, given by the map/reduce script: load(id) → row or null, drop(id), mark(id, {attempts, code, refused}),
 * post(body) → {status, body}, paused(), pause(), remainingUsage(), log(level, title, details).
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./outbox', './capture'], (outbox, capture) => {
    /** Load and then delete or mark one row. */
    const ROW_UNITS = 6;
    /** Both requests of a lot, and the pause. */
    const SEND_UNITS = 25;

    const gather = (ids, port) => {
        const rows = [];
        let reserved = SEND_UNITS;
        for (const id of ids) {
            if (port.remainingUsage() < reserved + ROW_UNITS) break;
            const row = port.load(id);
            if (row) {
                rows.push(row);
                reserved += ROW_UNITS;
            }
        }
        return rows;
    };

    const post = (rows, port) => {
        try {
            return port.post(outbox.body(rows));
        } catch (error) {
            return { error: capture.codeOf(error) };
        }
    };

    /** Does to each row what it can; a row that will not be cleared is sent again, which is harmless. */
    const each = (rows, action, port, what) => {
        let failed = 0;
        rows.forEach((row) => {
            try {
                action(row);
            } catch (_) {
                failed += 1;
            }
        });
        if (failed > 0) port.log('error', 'concord: outbox rows could not be changed', `${failed} ${what}`);
        return rows.length - failed;
    };

    const mark = (rows, code, refused, port) => each(rows, (row) => {
        port.mark(row.id, { attempts: row.attempts + 1, code, refused });
    }, port, refused ? 'to be set aside' : 'to be kept');

    const send = (rows, port) => {
        let verdict = outbox.settle(rows, post(rows, port));
        let { done } = verdict;
        const { refused } = verdict;
        if (verdict.again && verdict.kept.length > 0 && port.remainingUsage() >= SEND_UNITS) {
            verdict = outbox.settle(verdict.kept, post(verdict.kept, port));
            done = verdict.done;
            // What is refused the second time waits for the next run, so that no lot can go round for ever.
            verdict.kept = verdict.kept.concat(verdict.refused);
        }
        if (verdict.pause) port.pause();
        return { done, refused, kept: verdict.kept, code: verdict.code };
    };

    /** `{delivered, kept, refused}` of one lot. */
    const lot = (ids, port) => {
        const counts = { delivered: 0, kept: 0, refused: 0 };
        if (port.paused()) return counts;
        const rows = gather(ids, port);
        const unreadable = outbox.unreadable(rows);
        counts.refused += mark(unreadable, 'unreadable', true, port);
        for (const request of outbox.requests(rows)) {
            if (port.paused() || port.remainingUsage() < SEND_UNITS + request.length * (ROW_UNITS - 2)) break;
            const { done, refused, kept, code } = send(request, port);
            counts.delivered += each(done, (row) => port.drop(row.id), port, 'to be deleted');
            counts.refused += mark(refused, 'http_400', true, port);
            counts.kept += mark(kept, code, false, port);
            if (kept.length + refused.length > 0) {
                port.log('audit', 'concord: outbox rows stay', `${kept.length} kept, ${refused.length} refused: ${code}`);
            }
        }
        return counts;
    };

    return { lot };
});
