/*
 * UpdateFeatures (57), versions 0–2: the cluster's feature levels (KIP-584).
 *
 * 1  safe and unsafe downgrades, and only to validate (KIP-778). 2 no results
 *    for single features. All are updated or none.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_update_features_request_feature_update_key asked_feature;

static int8_t change_of(const struct kf__exchange *exchange, const asked_feature *asked)
{
    if (exchange->version >= 1)
        return asked->upgrade_type;
    return asked->allow_downgrade ? KF__FEATURE_SAFE_DOWNGRADE : KF__FEATURE_UPGRADE;
}

static kf_err check(const struct kf__exchange *exchange, char *why, size_t size)
{
    const struct kf_update_features_request *request = exchange->request;
    int32_t controller = kf__topics_controller(&exchange->broker->topics);
    char reason[400];
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    for (int32_t i = 0; !err && i < request->feature_updates.count; i++) {
        const asked_feature *asked = &request->feature_updates.items[i];
        err =
            kf__feature_check(&exchange->broker->features, asked->feature, asked->max_version_level,
                              change_of(exchange, asked), controller, reason, sizeof reason);
        if (err)
            snprintf(why, size,
                     "The update failed for all features since the following feature had an error: "
                     "%s",
                     reason);
    }
    return err;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_update_features_request *request = exchange->request;
    struct kf_update_features_response *response = exchange->response;
    char why[500] = "";
    kf_err err = check(exchange, why, sizeof why);
    response->error_code = kf__wire_error(err);
    response->error_message = kf__answer_text(exchange, kf__text(why[0] ? why : NULL));
    if (err)
        return KF__ANSWERED;
    if (!KF__FILL(exchange, "results", response->results, request->feature_updates.count))
        return KF__REFUSED;
    for (int32_t i = 0; i < request->feature_updates.count; i++) {
        const asked_feature *asked = &request->feature_updates.items[i];
        response->results.items[i].feature = asked->feature;
        response->results.items[i].error_message = kf__text(kf__kafka_words(KF_OK));
        if (!request->validate_only)
            kf__feature_set(&exchange->broker->features, asked->feature, asked->max_version_level);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_update_features = {
    .key = KF_API_UPDATE_FEATURES, .max_version = 2, .handle = handle};
