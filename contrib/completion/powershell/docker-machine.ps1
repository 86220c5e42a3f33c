# Completion of docker-machine for PowerShell. The program knows the candidates; this only asks it.

Register-ArgumentCompleter -Native -CommandName 'docker-machine' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { "$_" })
    $program = $words[0]
    $words = @($words | Select-Object -Skip 1)
    # An empty word would be lost on its way to a program.
    $next = @()
    if ("$wordToComplete" -eq '') { $next = @('--next') }
    foreach ($line in @(& $program complete @next '--' @words 2>$null)) {
        if ($line -eq '' -or $line.StartsWith(':')) { continue }
        $value, $about = $line -split "`t", 2
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $about)
    }
}
