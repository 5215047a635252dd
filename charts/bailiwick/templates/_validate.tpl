{{/* What values.schema.json cannot say, because it takes two values or the release namespace. Gives nothing, or fails. */}}
{{- define "bailiwick.validate" -}}
{{- $whitelist := include "bailiwick.namespaceWhitelist" . | fromJsonArray }}

{{- /* The schema refuses the same in namespaceWhitelist; this is for a release in kube-system. */}}
{{- range $whitelist }}
{{- if regexMatch "^((kube|openshift)-|openshift$)" . }}
{{- fail (printf "namespaceWhitelist: %s belongs to the cluster. Install Bailiwick in a namespace of its own, or name the namespaces that organizations may take." .) }}
{{- end }}
{{- end }}

{{- $creatable := include "bailiwick.createNamespaces" . | fromJsonArray }}
{{- range $creatable }}
{{- if not (has . $whitelist) }}
{{- fail (printf "createNamespaces: %s is not in namespaceWhitelist (%s)." . (join ", " $whitelist)) }}
{{- end }}
{{- end }}

{{- /* Checked before anything is installed, where Helm can ask the cluster. Elsewhere the API server refuses it halfway. */}}
{{- $cluster := include "bailiwick.cluster" . | fromJson }}
{{- if $cluster.asked }}
{{- range without $whitelist .Release.Namespace }}
{{- $live := get $cluster.namespaces . | default dict }}
{{- if $live.deletionTimestamp }}
{{- fail (printf "namespaceWhitelist: namespace %q is being deleted. Wait until it is gone, or leave it out." .) }}
{{- end }}
{{- if not (or (hasKey $cluster.namespaces .) (has . $creatable)) }}
{{- fail (printf "namespaceWhitelist: there is no namespace %q, and createNamespaces does not include it. Check the spelling, then create the namespace, add it to createNamespaces, or leave it out." .) }}
{{- end }}
{{- end }}

{{- /* A chart of before had namespaces in the release. Helm deletes one that is no longer there, unless it is marked. */}}
{{- range $name, $live := $cluster.namespaces }}
{{- if and (eq (include "bailiwick.isOfTheRelease" (list $ $live)) "true") (ne (get $live.annotations "helm.sh/resource-policy") "keep") }}
{{- fail (printf "Helm would delete namespace %q with all that is in it. Mark it first: kubectl annotate namespace %s helm.sh/resource-policy=keep" $name $name) }}
{{- end }}
{{- end }}
{{- end }}

{{- with .Values.defaultOrganization }}
{{- if and .create .namespace (not (has .namespace $whitelist)) }}
{{- fail (printf "defaultOrganization.namespace: %s is not in namespaceWhitelist (%s)." .namespace (join ", " $whitelist)) }}
{{- end }}
{{- end }}

{{- /* bailiwick-bounds is the platform team's, so no word may reach ConfigMaps of the release namespace in general. */}}
{{- $home := has .Release.Namespace $whitelist }}
{{- range $word, $entry := .Values.catalog }}
{{- $target := $entry.target | default "organization" }}
{{- range $name, $rule := $entry.rules }}
{{- $actions := $rule.actions | default (list "create" "update" "delete") }}
{{- $writes := or (has "create" $actions) (has "update" $actions) (has "delete" $actions) }}
{{- $named := and $rule.resourceNames (not (has "bailiwick-bounds" $rule.resourceNames)) }}
{{- $reaches := and (has "" $rule.apiGroups) (has "configmaps" $rule.resources) (not $named) }}
{{- if and $writes $reaches (or (eq $target "release") (and (eq $target "organization") $home (ne (toString $entry.inReleaseNamespace) "false"))) }}
{{- $advice := ternary "" ", or say inReleaseNamespace: false for the word" (eq $target "release") }}
{{- fail (printf "catalog.%s.rules.%s: would open the ConfigMap bailiwick-bounds, which limits Bailiwick itself. Name the ConfigMaps that you mean (resourceNames)%s." $word $name $advice) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
