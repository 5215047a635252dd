{{/*
Checks that values.schema.json cannot make, because they need two values or the release namespace. Renders nothing, or
fails.
*/}}
{{- define "bailiwick.validate" -}}
{{- $whitelist := include "bailiwick.namespaceWhitelist" . | fromJsonArray }}

{{- /* The schema refuses these in namespaceWhitelist. This check is for a release in such a namespace. */}}
{{- range $whitelist }}
{{- if regexMatch "^((kube|openshift)-|openshift$)" . }}
{{- fail (printf "namespaceWhitelist: %s belongs to the cluster. Install Bailiwick in a namespace of its own, or list the namespaces that organizations may claim." .) }}
{{- end }}
{{- end }}

{{- $creatable := include "bailiwick.createNamespaces" . | fromJsonArray }}
{{- range $creatable }}
{{- if not (has . $whitelist) }}
{{- fail (printf "createNamespaces: %s is not in namespaceWhitelist (%s)." . (join ", " $whitelist)) }}
{{- end }}
{{- end }}

{{- /*
If Helm can ask the cluster, fail before anything is installed. Otherwise the API server would refuse it halfway.
*/}}
{{- $cluster := include "bailiwick.cluster" . | fromJson }}
{{- if $cluster.asked }}
{{- range without $whitelist .Release.Namespace }}
{{- $live := get $cluster.namespaces . | default dict }}
{{- if $live.deletionTimestamp }}
{{- fail (printf "namespaceWhitelist: namespace %q is being deleted. Wait until it is gone, or remove it from the list." .) }}
{{- end }}
{{- if not (or (hasKey $cluster.namespaces .) (has . $creatable)) }}
{{- fail (printf "namespaceWhitelist: there is no namespace %q, and createNamespaces does not include it. Check the spelling. Then create the namespace, add it to createNamespaces, or remove it from the list." .) }}
{{- end }}
{{- end }}

{{- /*
Earlier charts had namespaces in the release. Helm deletes those that are no longer rendered, unless they are marked.
*/}}
{{- range $name, $live := $cluster.namespaces }}
{{- if and (eq (include "bailiwick.isOfTheRelease" (list $ $live)) "true") (ne (get $live.annotations "helm.sh/resource-policy") "keep") }}
{{- fail (printf "Helm would delete namespace %q with everything in it. Mark it first: kubectl annotate namespace %s helm.sh/resource-policy=keep" $name $name) }}
{{- end }}
{{- end }}
{{- end }}

{{- with .Values.defaultOrganization }}
{{- if and .create .namespace (not (has .namespace $whitelist)) }}
{{- fail (printf "defaultOrganization.namespace: %s is not in namespaceWhitelist (%s)." .namespace (join ", " $whitelist)) }}
{{- end }}
{{- end }}

{{- /* bailiwick-bounds belongs to the platform team, so no word may open all ConfigMaps of the release namespace. */}}
{{- $home := has .Release.Namespace $whitelist }}
{{- range $word, $entry := .Values.catalog }}
{{- $target := $entry.target | default "organization" }}
{{- range $name, $rule := $entry.rules }}
{{- $actions := $rule.actions | default (list "create" "update" "delete") }}
{{- $writes := or (has "create" $actions) (has "update" $actions) (has "delete" $actions) }}
{{- $named := and $rule.resourceNames (not (has "bailiwick-bounds" $rule.resourceNames)) }}
{{- $reaches := and (has "" $rule.apiGroups) (has "configmaps" $rule.resources) (not $named) }}
{{- if and $writes $reaches (or (eq $target "release") (and (eq $target "organization") $home (ne (toString $entry.inReleaseNamespace) "false"))) }}
{{- $advice := ternary "" ", or set inReleaseNamespace: false for the word" (eq $target "release") }}
{{- fail (printf "catalog.%s.rules.%s: this would open the ConfigMap bailiwick-bounds, which limits Bailiwick itself. List the ConfigMaps that you mean in resourceNames%s." $word $name $advice) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
