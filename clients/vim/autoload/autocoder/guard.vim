" The outer edge: what the editor calls at an event. A fault in here may cost a suggestion, never
" a message at each key. Knows nothing of what it runs.
scriptencoding utf-8

" Call `Run` with `arguments`. What it throws is logged: where, and its number, since the rest of
" an exception's text may hold text of the user's.
function! autocoder#guard#run(Run, arguments = []) abort
  try
    return call(a:Run, a:arguments)
  catch
    call autocoder#log#warn('a fault of the plugin: ' .. matchstr(v:exception, 'E\d\+')
          \ .. ' in ' .. matchstr(v:throwpoint, '.*\.\.\zs.*'))
  endtry
endfunction
