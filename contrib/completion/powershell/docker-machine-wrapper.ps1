# `docker-machine use NAME` for PowerShell: points docker in this session to a machine.

function global:docker-machine {
    $program = @(Get-Command -CommandType Application -Name 'docker-machine')[0].Source
    if ($args.Count -eq 0 -or $args[0] -ne 'use') {
        & $program @args
        return
    }
    $rest = @($args | Select-Object -Skip 1)
    if ($rest.Count -eq 0 -or @('-h', '--help') -contains $rest[0]) {
        'Usage: docker-machine use [OPTIONS] [NAME]'
        return
    }
    $lines = @(& $program env --shell powershell @rest)
    if ($LASTEXITCODE -ne 0) { return }
    $lines | Where-Object { $_ -notmatch '^#' } | Invoke-Expression
    "Active machine: $Env:DOCKER_MACHINE_NAME"
}
