" autocoder: ghost text from a local model. This file only hooks; autoload/ thinks.
" Works in Vim 9.0.0185 or newer and Neovim 0.7 or newer. See :help autocoder.
scriptencoding utf-8

" In a 'compatible' Vim not even the line breaks below would be understood.
if exists('g:loaded_autocoder') || &cpoptions =~# 'C'
  finish
endif
let g:loaded_autocoder = 1

command! -nargs=? -bar -complete=customlist,autocoder#command#complete Autocoder
      \ call autocoder#command#run(<q-args>)

if !autocoder#supported()
  finish
endif

function! s:highlight() abort
  if has('gui_running') || &termguicolors || has('nvim') || &t_Co >= 256
    highlight default AutocoderSuggestion ctermfg=244 guifg=#808080
  else
    highlight default link AutocoderSuggestion Comment
  endif
endfunction
call s:highlight()

imap <silent> <expr> <Plug>(autocoder-accept) autocoder#keys#accept('all')
imap <silent> <expr> <Plug>(autocoder-word) autocoder#keys#accept('word')
imap <silent> <expr> <Plug>(autocoder-line) autocoder#keys#accept('line')
inoremap <silent> <Plug>(autocoder-next) <Cmd>call autocoder#suggest#cycle(1)<CR>
inoremap <silent> <Plug>(autocoder-previous) <Cmd>call autocoder#suggest#cycle(-1)<CR>
inoremap <silent> <Plug>(autocoder-dismiss) <Cmd>call autocoder#suggest#dismiss()<CR>
inoremap <silent> <Plug>(autocoder-trigger) <Cmd>call autocoder#suggest#trigger()<CR>
" <C-R>= types the text, so that `.` repeats it; the two <C-G>u make it one step for `u`.
inoremap <silent> <Plug>(autocoder-insert)
      \ <C-G>u<Cmd>call autocoder#insert#begin()<CR><C-R>=autocoder#insert#keys()<CR>
      \<Cmd>call autocoder#insert#end()<CR><C-G>u

augroup autocoder
  autocmd!
  autocmd ColorScheme * call s:highlight()
  autocmd InsertEnter,TextChangedI,TextChangedP,CursorMovedI,CompleteDone *
        \ call autocoder#guard#run('autocoder#suggest#follow')
  autocmd VimResized,WinScrolled * call autocoder#guard#run('autocoder#suggest#fit')
  " <C-C> leaves Insert mode without InsertLeave, and without ModeChanged in Neovim.
  autocmd InsertLeave,BufLeave,WinLeave,CursorMoved,TextChanged *
        \ call autocoder#guard#run('autocoder#suggest#leave')
  autocmd InsertLeave,TextChanged,InsertEnter * call autocoder#guard#run('autocoder#ghost#sweep')
  autocmd ModeChanged i*:n* call autocoder#guard#run('autocoder#suggest#leave')
  autocmd InsertLeave * call autocoder#log#say()
  autocmd VimLeavePre * call autocoder#bridge#stop()
augroup END

" Other plugins and the user's vimrc have had their say by VimEnter; then Tab wraps what is there.
if v:vim_did_enter
  call autocoder#keys#map_defaults()
else
  autocmd autocoder VimEnter * call autocoder#keys#map_defaults()
endif
