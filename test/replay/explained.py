# SPDX-License-Identifier: Apache-2.0
"""Differences between our answers and the recorded server's that are meant: (pattern of the difference, reason)."""

EXPLAINED = [
    (r"status 304 became 200", "an ETag of the recorded server names its documents, not ours"),
    (r"continue=.*status 200 became (410|504)", "a continue token of the recorded server is of its history"),
    (r"\.spec\.tolerations: missing", "pods of a node that cannot be reached are not evicted: no default tolerations"),
    (r"'kube-api-access-\w+' became 'kube-api-access-\w+'", "names of token volumes are random"),
    (r"projected\.sources: 4 items became 3", "the recorded server also mounted the CA of OpenShift's services"),
    (r"\.items\[\d+\]\.(apiVersion|kind): not theirs", "items of lists carry their kind"),
    (r"\.items: not theirs", "an empty list in protobuf has no items"),
    (r"\.clusterIPs?(\[0\])?: '10\.96[\d.]+' became '10\.96[\d.]+'", "cluster addresses are chosen at random"),
    (r"certificatesigningrequests/.*\.spec\.extra: not theirs", "the request is made by another user here"),
    (r"\.status\.unavailableReplicas: missing", "no controllers act beside the replay"),
    (r"configmaps/cm1.*: \.data\.", "the object was changed in between, in another recording"),
]
