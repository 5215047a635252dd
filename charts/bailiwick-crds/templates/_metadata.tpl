{{- define "bailiwick-crds.metadata" -}}
{{- $labels := dict
      "app.kubernetes.io/name" "bailiwick"
      "app.kubernetes.io/instance" .Release.Name
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/managed-by" .Release.Service
      "app.kubernetes.io/part-of" "bailiwick"
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
}}
{{- $annotations := dict
      "helm.sh/resource-policy" "keep"
      "argocd.argoproj.io/sync-options" "Prune=false,Delete=false"
      "argocd.argoproj.io/compare-options" "IgnoreExtraneous"
}}
{{- dict "labels" $labels "annotations" $annotations | toYaml | nindent 2 | trimPrefix "\n" }}
{{ end }}
